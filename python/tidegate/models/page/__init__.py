"""Reading a page: where text is (`regions`), cut out and straight (`strips`), as letters (`letters`), and in order."""
