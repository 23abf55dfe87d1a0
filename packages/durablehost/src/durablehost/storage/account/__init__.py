"""The services of one storage account over HTTP, and the names of a task hub's resources in them."""
