"""Invoice documents: one invoice as a page, a PDF, a table and JSON, all from the same figures.

`model` takes the figures from the folded invoice, `shown` writes them out in a language, and `page`, `pdf`,
`rows` and `view` lay them out.
"""
