"""Where bytes are kept: Azure Blob Storage, a local folder, and the spool on disk."""
