//! The price of storage.

use serde::Serialize;

use super::InvalidSetting;

/// The price of storage in USD for a GB (10⁹ bytes) and month.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(extend("minimum" = 0, "maximum" = 1000)))]
pub struct Price(f64);

/// The price of ECR storage in most regions (AWS, "Amazon ECR pricing").
pub const DEFAULT_PRICE: Price = Price(0.10);

impl Price {
    /// The cost of `bytes` in USD per month.
    pub fn monthly_cost(self, bytes: u64) -> f64 {
        bytes as f64 / 1e9 * self.0
    }
}

/// Parses a number such as `0.10`.
impl std::str::FromStr for Price {
    type Err = InvalidSetting;

    fn from_str(text: &str) -> Result<Self, InvalidSetting> {
        let is_price = |it: &f64| it.is_sign_positive() && (0.0..=1000.0).contains(it);
        let price = text.parse().ok().filter(is_price);
        price.map(Self).ok_or_else(|| {
            InvalidSetting(format!("`{text}` is not a price in USD per GB and month, such as 0.10"))
        })
    }
}

impl std::fmt::Display for Price {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // At least two decimal places, and more for fractions of a cent.
        let text = format!("{:.6}", self.0);
        let (whole, parts) = text.split_once('.').unwrap_or((&text, ""));
        write!(f, "${whole}.{:0<2}", parts.trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn price_is_parsed_and_displayed() {
        assert_eq!("0.1".parse::<Price>().unwrap().to_string(), "$0.10");
        assert_eq!("0.095".parse::<Price>().unwrap().to_string(), "$0.095");
        assert_eq!(DEFAULT_PRICE.monthly_cost(2_000_000_000), 0.2);
        for wrong in ["", "-1", "-0", "free", "NaN", "1e9"] {
            assert!(wrong.parse::<Price>().is_err(), "{wrong}");
        }
    }
}
