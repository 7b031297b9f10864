//! What enoki_echo, the policy of the selftests that answers hints, takes and answers.

use enoki_client::layout;

layout! {
    /// What the policy takes.
    pub struct Call("echo_call", 1) {
        /// What to do: 0 nothing, 1 answer.
        pub op: u32,
        /// Whatever.
        pub tag: u32,
        /// Whatever else.
        pub value: u64,
    }
}

layout! {
    /// What it answers.
    pub struct Answer("echo_answer", 2) {
        /// That of the call.
        pub tag: u32,
        /// Whom it was about.
        pub about: u32,
        /// That of the call.
        pub value: u64,
    }
}
