//! What checks answer.

/// What a check says of the world: `true` or `Ok` if all is as it should be.
///
/// A `Result` can also say what it saw instead, and the failure then says so, too.
///
/// ```
/// # use stillpoint_sim::Claim;
/// let (sent, received) = (3, 4);
/// let told = if received <= sent { Ok(()) } else { Err(format!("{received} of {sent}")) };
/// assert_eq!(told.into_result(), Err("4 of 3".to_owned()));
/// assert_eq!((received > sent).into_result(), Ok(()));
/// ```
pub trait Claim {
    /// What is wrong, if anything is. Empty if the check does not say.
    ///
    /// # Errors
    ///
    /// What the check saw, if that is not as it should be.
    fn into_result(self) -> Result<(), String>;
}

impl Claim for bool {
    fn into_result(self) -> Result<(), String> {
        if self { Ok(()) } else { Err(String::new()) }
    }
}

impl<E: Into<String>> Claim for Result<(), E> {
    fn into_result(self) -> Result<(), String> {
        self.map_err(Into::into)
    }
}
