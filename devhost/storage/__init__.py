"""The task hub in the layout of the Azure Storage provider; the only package that imports the Azure Storage SDKs."""
