//! A lexer that agrees with PostgreSQL's.
