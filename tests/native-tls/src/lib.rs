//! Only tests: the platform's TLS library with itself and with rustls.
