//! The way from and to std's types and descriptors.

/// Gives a type its conversions from and to std's type and descriptors, std's `Debug`, and `close`. `$prepare` makes a
/// descriptor that is new to us fit for use. The type holds a `source: Source<_>`.
macro_rules! conversions {
    ($type:ident, $std:ty, $prepare:path) => {
        crate::io::conversions!($type, $std, $std, $prepare);
    };
    ($type:ident, $std:ty, $inner:ty, $prepare:path) => {
        impl $type {
            /// Takes over what std opened and makes it non-blocking (and with it all its clones).
            ///
            /// # Errors
            ///
            /// If the descriptor refuses that.
            pub fn from_std(inner: $std) -> std::io::Result<Self> {
                use std::os::fd::AsFd;
                $prepare(inner.as_fd())?;
                Ok($type {
                    source: crate::io::Source::new(inner.into()),
                })
            }

            /// Hands it over to std, blocking as std expects it. Clones that are still used here would block
            /// their workers from then on: there must be none.
            ///
            /// # Errors
            ///
            /// If the descriptor refuses that; [`Closed`](crate::io::Closed).
            pub fn into_std(self) -> std::io::Result<$std> {
                self.source.live()?;
                let inner = self.source.into_inner();
                let inner: $std = crate::net::seam::IntoSystem::into_system(inner)?;
                rustix::io::ioctl_fionbio(&inner, false)?;
                Ok(inner)
            }

            /// Closes it now, though others may still share it. Never suspends.
            ///
            /// Whoever waits in one of its calls is woken, and that call and every later one fail with
            /// [`Closed`](crate::io::Closed). The peer sees what it sees when this is dropped; clones (with a
            /// descriptor of their own) keep it open. Closing again does nothing.
            ///
            /// # Errors
            ///
            /// `EMFILE`, only at the first `close` of the process; nothing has happened then.
            pub fn close(&self) -> std::io::Result<()> {
                self.source.close()
            }

            /// For `select!`.
            #[doc(hidden)]
            #[allow(private_interfaces, reason = "only `select!` calls it")]
            pub fn __select_readable(&self) -> crate::io::ReadinessArm<'_, $inner> {
                self.source.readiness(crate::io::Way::Read)
            }

            /// For `select!`.
            #[doc(hidden)]
            #[allow(private_interfaces, reason = "only `select!` calls it")]
            pub fn __select_writable(&self) -> crate::io::ReadinessArm<'_, $inner> {
                self.source.readiness(crate::io::Way::Write)
            }
        }

        /// As [`from_std`](Self::from_std).
        impl TryFrom<$std> for $type {
            type Error = std::io::Error;
            fn try_from(inner: $std) -> std::io::Result<Self> {
                $type::from_std(inner)
            }
        }

        #[doc = concat!("As [`into_std`](", stringify!($type), "::into_std).")]
        impl TryFrom<$type> for $std {
            type Error = std::io::Error;
            fn try_from(inner: $type) -> std::io::Result<Self> {
                inner.into_std()
            }
        }

        /// Takes over a descriptor, which must be of this kind, and makes it non-blocking.
        impl TryFrom<std::os::fd::OwnedFd> for $type {
            type Error = std::io::Error;
            fn try_from(fd: std::os::fd::OwnedFd) -> std::io::Result<Self> {
                $type::from_std(fd.into())
            }
        }

        /// Gives the descriptor away; it stays non-blocking.
        impl From<$type> for std::os::fd::OwnedFd {
            fn from(inner: $type) -> Self {
                inner.source.into_inner().into()
            }
        }

        /// Gives the descriptor away; it stays non-blocking, and closing it is the caller's.
        impl std::os::fd::IntoRawFd for $type {
            fn into_raw_fd(self) -> std::os::fd::RawFd {
                std::os::fd::OwnedFd::from(self).into_raw_fd()
            }
        }

        impl std::os::fd::AsFd for $type {
            #[inline]
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                self.source.get_ref().as_fd()
            }
        }

        impl std::os::fd::AsRawFd for $type {
            #[inline]
            fn as_raw_fd(&self) -> std::os::fd::RawFd {
                std::os::fd::AsFd::as_fd(self.source.get_ref()).as_raw_fd()
            }
        }

        /// As std's.
        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.source.get_ref().fmt(f)
            }
        }
    };
}

pub(crate) use conversions;
