"""The task hub in Azure Storage: the only package that imports the Azure Storage SDKs.

Names, tables, queues and messages are those of DurableTask.AzureStorage, so that its tools read them and a real
Functions host can take a hub over, and give it back.
"""
