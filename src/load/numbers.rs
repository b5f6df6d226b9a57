//! Numbers as the tables show them.

/// A rate without its fraction.
pub(super) fn rounded(value: f64) -> String {
    let text = format!("{value:.0}");
    text.parse().map_or(text, grouped)
}

/// A number with commas between its thousands: `100,000`.
pub(super) fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
