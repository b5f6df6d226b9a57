//! The runbooks, so that an operator reads them where the alert stands. Their pages are those of `dashboards/runbooks`.

/// A runbook: its name, and its page in Markdown.
type Runbook = (&'static str, &'static str);

macro_rules! runbooks {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../dashboards/runbooks/", $name, ".md")))),*]
    };
}

/// In the order of their names.
const RUNBOOKS: &[Runbook] = runbooks![
    "FirstcomeAdmittedIdle",
    "FirstcomeAuditorBehind",
    "FirstcomeBackupFailed",
    "FirstcomeBackupOld",
    "FirstcomeBeaconMissing",
    "FirstcomeCaptureGap",
    "FirstcomeCertificateNotTaken",
    "FirstcomeChallengesFail",
    "FirstcomeClockOff",
    "FirstcomeCommitsSlow",
    "FirstcomeConnectionsRefused",
    "FirstcomeCountersDisagree",
    "FirstcomeDeadLetters",
    "FirstcomeDepletionOffPlan",
    "FirstcomeDescriptorsLow",
    "FirstcomeDiskFilling",
    "FirstcomeDiskLow",
    "FirstcomeDoorRefusesMany",
    "FirstcomeDown",
    "FirstcomeEndpointDead",
    "FirstcomeErrors",
    "FirstcomeEtcdMemberLost",
    "FirstcomeEtcdNearlyFull",
    "FirstcomeEtcdSlow",
    "FirstcomeHotReadsLow",
    "FirstcomeKeysForgotten",
    "FirstcomeLeaderChanges",
    "FirstcomeMailsRefused",
    "FirstcomeManySuspected",
    "FirstcomeMemoryHigh",
    "FirstcomeNoLeader",
    "FirstcomeNodeBehind",
    "FirstcomeNodeClockOff",
    "FirstcomeNotWatched",
    "FirstcomeOutboxLate",
    "FirstcomeOversold",
    "FirstcomeProviderEventsRefused",
    "FirstcomeQueueFull",
    "FirstcomeReadOnly",
    "FirstcomeReadsSlow",
    "FirstcomeRefundsDue",
    "FirstcomeRefundsGivenUp",
    "FirstcomeRepliesLate",
    "FirstcomeRequestsAbovePlan",
    "FirstcomeRoomNotMoving",
    "FirstcomeRouterNoLeader",
    "FirstcomeRouterNodeMisplaced",
    "FirstcomeSessionsFailing",
    "FirstcomeThreadPanicked",
    "FirstcomeUndersold",
    "FirstcomeWalGrowing",
    "FirstcomeWriterStalled",
    "FirstcomeWritesSlow",
    "ReplaceNode",
    "UndoOrders",
    "UpgradeCluster",
];

/// Returns the page of a runbook.
#[must_use]
pub fn page(name: &str) -> Option<&'static str> {
    RUNBOOKS.iter().find(|(known, _)| *known == name).map(|(_, page)| *page)
}

/// Returns the names of all runbooks.
#[must_use]
pub fn names() -> Vec<&'static str> {
    RUNBOOKS.iter().map(|(name, _)| *name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_of_the_directory_is_there() {
        let files = std::fs::read_dir("dashboards/runbooks").expect("the directory");
        let mut found: Vec<String> = files
            .map(|file| file.expect("a file").file_name().to_string_lossy().trim_end_matches(".md").to_owned())
            .collect();
        found.sort_unstable();
        assert_eq!(names(), found);
    }
}
