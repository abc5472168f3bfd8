//! Tests of the answers, over the router.
