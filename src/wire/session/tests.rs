//! Tokens by the wall clock, and keys.

use super::*;

#[test]
fn a_step_of_the_wall_clock_ends_a_token_with_the_next_pass_which_reads_it_once() {
    let (began, next) = (Instant::now(), std::time::Duration::from_nanos(1));
    let mut validity = TokenValidity { expires: 100, pass: began, valid: true };
    assert!(validity.holds_in(began, || unreachable!("HELLO has read the clock in this pass")));
    assert!(validity.holds_in(began + next, || 99), "a token is valid to the end of its last second");
    assert!(!validity.holds_in(began + 2 * next, || 100), "it is not valid on its `exp`");
    assert!(!validity.holds_in(began + 2 * next, || unreachable!("one reading in a pass")));
    assert!(!validity.holds_in(began + 3 * next, || 3_600), "the clock was stepped");
    assert!(validity.holds_in(began + 4 * next, || 50), "the clock was stepped back");
}

#[test]
fn a_key_is_the_hex_of_its_bytes() {
    let key: [u8; 16] = std::array::from_fn(|at| u8::try_from(at * 17).expect("a byte"));
    assert_eq!(key_digits(key).as_flattened(), hex::encode(&key).as_bytes());
}
