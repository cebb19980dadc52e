"""Trees of folders: what lies in them, which folders are parts and which are classes."""
