"""Label pictures and arrays: objects as pixels."""
