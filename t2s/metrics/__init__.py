"""The field's published metrics, one file each, its rules cited."""
