//! Which user names exist, asked of the system (NSS) and remembered for a while.
//!
//! An attack asks for thousands of names that are not there, and each question can go to a directory server: answers
//! are kept for a short time, and only so many.

use std::collections::HashMap;
use std::time::Duration;

use unmasq_flow::Timestamp;

/// How long an answer is good for.
const KEEP: Duration = Duration::from_secs(60);
/// Answers that are kept; about 100 bytes each.
const MOST: usize = 50_000;
/// Longest name that is asked for: LOGIN_NAME_MAX (limits.h) of Linux.
const LONGEST: usize = 256;

/// The remembered answers.
#[derive(Debug, Default)]
pub(crate) struct Users {
    known: HashMap<Box<str>, (bool, Timestamp)>,
}

impl Users {
    /// Is there a user of that name?
    ///
    /// # Errors
    /// A name with a NUL byte, as getpwnam(3) cannot be asked for it.
    pub(crate) fn exists(&mut self, name: &str, now: Timestamp) -> Result<bool, String> {
        if name.contains('\0') {
            return Err("a user name cannot contain a NUL byte".to_owned());
        }
        if name.is_empty() || name.len() >= LONGEST {
            return Ok(false);
        }
        if let Some((exists, asked)) = self.known.get(name)
            && now.since(*asked) < KEEP
        {
            return Ok(*exists);
        }
        if self.known.len() >= MOST {
            self.known.retain(|_, (_, asked)| now.since(*asked) < KEEP);
            if self.known.len() >= MOST {
                self.known.clear();
            }
        }
        let exists = uzers::get_user_by_name(name).is_some();
        self.known.insert(name.into(), (exists, now));
        Ok(exists)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_exists_and_others_do_not() {
        let mut users = Users::default();
        let now = Timestamp::from_seconds(1);
        for _ in 0..2 {
            assert_eq!(users.exists("root", now), Ok(true));
            assert_eq!(users.exists("no such user", now), Ok(false));
        }
        assert_eq!(users.exists("", now), Ok(false));
        assert!(users.exists("ro\0ot", now).is_err());
    }
}
