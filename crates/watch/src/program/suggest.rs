//! What the author of a wrong word probably meant.

/// `; did you mean "x"?` if one of the known words is near, else nothing.
pub(crate) fn did_you_mean<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    let nearest = known
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(&known.to_lowercase(), &word.to_lowercase()), known))
        .min_by_key(|(distance, _)| *distance);
    match nearest {
        Some((distance, known)) if distance <= 1 + word.chars().count() / 5 => {
            format!("; did you mean {known:?}?")
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_near_words_are_suggested() {
        let known = ["filter_equals", "filter_in", "filter_pcre"];
        assert_eq!(did_you_mean("filter_equal", known), "; did you mean \"filter_equals\"?");
        assert_eq!(did_you_mean("Filter_PCRE", known), "; did you mean \"filter_pcre\"?");
        assert_eq!(did_you_mean("action_log", known), "");
    }
}
