"""What `prompt` is made of: words (`zh.jinja`, `en.jinja`), the schema's text, the ranking of tables."""
