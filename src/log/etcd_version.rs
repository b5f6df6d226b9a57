//! Versions of etcd with known losses of data.

/// A version of etcd.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct EtcdVersion(u32, u32, u32);

impl EtcdVersion {
    /// Parses `3.5.14`, and the version before a suffix.
    #[must_use]
    pub(super) fn parse(text: &str) -> Option<EtcdVersion> {
        let plain = text.split(['-', '+']).next()?;
        let mut parts = plain.split('.').map(|part| part.parse().ok());
        let version = EtcdVersion(parts.next()??, parts.next()??, parts.next()??);
        parts.next().is_none().then_some(version)
    }

    /// Returns the fault of the version, as a predicate. `None` if none is known.
    #[must_use]
    pub(super) fn fault(self) -> Option<&'static str> {
        match self {
            EtcdVersion(3, 4, 20..=21) | EtcdVersion(3, 5, 0..=5) => {
                Some("can make members differ for good (etcd#13766, etcd#14382)")
            }
            EtcdVersion(3, 4, 22..=31) | EtcdVersion(3, 5, 6..=13) => {
                Some("can lose revisions when it is compacted (etcd#17780)")
            }
            EtcdVersion(..=2, ..) | EtcdVersion(3, ..=3, _) | EtcdVersion(3, 4, ..=19) => Some("is too old"),
            EtcdVersion(3, 4.., _) | EtcdVersion(4.., ..) => None,
        }
    }

    /// Returns whether not even a drill may use the version.
    #[must_use]
    pub(super) fn is_worst(self) -> bool {
        self < EtcdVersion(3, 4, 22) || matches!(self, EtcdVersion(3, 5, 0..=5))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_with_known_losses_of_data_have_a_fault_and_the_worst_are_for_no_drill() {
        let judged = |text: &str| {
            let version = EtcdVersion::parse(text).expect("a version");
            (version.fault().is_some(), version.is_worst())
        };
        for text in ["3.4.32", "3.4.99", "3.5.14", "3.5.21", "3.6.0", "3.6.0-rc.1", "4.0.0"] {
            assert_eq!(judged(text), (false, false), "{text}");
        }
        for text in ["3.4.23", "3.4.22", "3.4.31", "3.5.6", "3.5.13", "3.5.13+git"] {
            assert_eq!(judged(text), (true, false), "{text}");
        }
        for text in ["2.3.8", "3.3.27", "3.4.0", "3.4.20", "3.4.21", "3.5.0", "3.5.5"] {
            assert_eq!(judged(text), (true, true), "{text}");
        }
        for text in ["", "3.4", "3.4.x", "v3.4.1", "3.4.1.2", "nginx"] {
            assert_eq!(EtcdVersion::parse(text), None, "{text}");
        }
    }
}
