//! Libraries that others wrote, over our sockets: see `tests/`, and `docs/ecosystem.md`, which the tests write.
