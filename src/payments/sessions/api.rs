//! The meaning of a provider's answers to requests about sessions.

use super::SessionError;
use crate::payments::provider_api::{ApiResponse, NoResponse};

impl From<NoResponse> for SessionError {
    fn from(failure: NoResponse) -> SessionError {
        match failure {
            NoResponse::BadUrl(reason) => SessionError::unusable(reason),
            NoResponse::Failed(reason) => SessionError::retry(reason),
        }
    }
}

impl ApiResponse {
    /// Returns the error for a response without a session. `reason` is the provider's text, and `is_of_order` says that the
    /// provider's error is about the order: only such an error with the status of a refusal is for good. Any other answer
    /// may be that of something between, or about the state of the provider.
    pub(super) fn session_error(&self, reason: Option<&str>, is_of_order: bool) -> SessionError {
        if is_of_order && matches!(self.status, 400 | 402 | 422) {
            return SessionError::Refused(self.detail(reason));
        }
        SessionError::Retry { reason: self.detail(reason), retry_after: self.retry_after }
    }

    /// Returns the error for a response that does not say that a session was closed. `is_of_session` says that the provider's
    /// error is about the session: with one of these statuses it was closed or paid before, or it does not exist. Any other
    /// answer may be that of something between, and a wrong key can be replaced.
    pub(super) fn closing_error(&self, reason: Option<&str>, is_of_session: bool) -> SessionError {
        if is_of_session && matches!(self.status, 200 | 400 | 404 | 410 | 422) {
            return SessionError::Refused(self.detail(reason));
        }
        SessionError::Retry { reason: self.detail(reason), retry_after: self.retry_after }
    }
}
