//! What a suite cannot test through a proxy, by name, with the reason.

/// A list: a reason is one or more lines with `#`, and the tests it is for follow, one a line.
#[derive(Debug, Default)]
pub struct Listed(Vec<String>);

impl Listed {
    pub fn read(text: &str) -> Result<Listed, String> {
        let mut names = Vec::new();
        let mut reason = false;
        for line in text.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
            if let Some(words) = line.strip_prefix('#') {
                reason = !words.trim().is_empty();
            } else if reason {
                names.push(line.to_owned());
            } else {
                return Err(format!("{line} is listed without a reason"));
            }
        }
        Ok(Listed(names))
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    pub fn covers(&self, name: &str) -> bool {
        self.names().any(|listed| listed == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_a_reason() {
        let listed = Listed::read("# One\n# reason.\na\nb\n\n# Another.\nc d\n").expect("good");
        assert_eq!(listed.names().collect::<Vec<_>>(), ["a", "b", "c d"]);
        assert!(Listed::read("a\n").is_err());
        assert!(Listed::read("#\na\n").is_err());
    }
}
