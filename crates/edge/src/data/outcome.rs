//! How an attempt at an endpoint ends, with the one spelling used in metrics and logs.

/// How an attempt at an endpoint ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A complete answer below 500.
    Ok,
    /// An answer of 500 or above.
    ServerError,
    /// No connection could be opened.
    ConnectFailed,
    /// The connection ended before the answer did.
    Reset,
    /// An answer that breaks the protocol.
    BadAnswer,
    /// No answer in time, or a pause in the middle of one that was too long.
    Timeout,
    /// The client left before the end.
    ClientGone,
    /// Another endpoint won the race.
    Cancelled,
    /// The endpoint refused the stream, and has not looked at the request.
    Refused,
    /// A gRPC answer whose status speaks against the endpoint.
    GrpcError,
    /// A gRPC answer without a status.
    NoGrpcStatus,
}

impl Outcome {
    /// All outcomes, in the order of their discriminants.
    pub const ALL: [Self; 11] = [
        Self::Ok,
        Self::ServerError,
        Self::ConnectFailed,
        Self::Reset,
        Self::BadAnswer,
        Self::Timeout,
        Self::ClientGone,
        Self::Cancelled,
        Self::Refused,
        Self::GrpcError,
        Self::NoGrpcStatus,
    ];

    /// The spelling in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ServerError => "5xx",
            Self::ConnectFailed => "connect_failed",
            Self::Reset => "reset",
            Self::BadAnswer => "bad_answer",
            Self::Timeout => "timeout",
            Self::ClientGone => "client_gone",
            Self::Cancelled => "cancelled",
            Self::Refused => "refused_stream",
            Self::GrpcError => "grpc_error",
            Self::NoGrpcStatus => "no_grpc_status",
        }
    }
}
