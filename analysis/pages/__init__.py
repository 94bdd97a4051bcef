"""Parts that all pages share: templates, words, pictures, packing."""
