"""The examiners' own app under /rate: its own login, page, routes and media. Nothing of the author's page is in it."""
