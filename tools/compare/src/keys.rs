//! The names of the families of keys.

use ringstore::testing::keys::KeyFamily;

/// The family's name on the command line and in results, such as `shared-prefix31`.
pub fn name(family: KeyFamily) -> String {
    let mut name = String::new();
    for c in format!("{family:?}").chars() {
        if c.is_ascii_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.push(c.to_ascii_lowercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_words_with_dashes() {
        assert_eq!(name(KeyFamily::Uniform), "uniform");
        assert_eq!(name(KeyFamily::SharedPrefix31), "shared-prefix31");
        assert_eq!(name(KeyFamily::OutlierOverDense64), "outlier-over-dense64");
        assert_eq!(name(KeyFamily::PoisonedCdf), "poisoned-cdf");
    }
}
