//! How much of something the other side may do: so much at once, and then so much a second.

use std::time::Instant;

/// A token bucket that is full at first.
pub(crate) struct Budget {
    burst: f64,
    per_second: f64,
    spent: f64,
    last: Option<Instant>,
}

impl Budget {
    pub fn new(burst: u32, per_second: u32) -> Self {
        Self { burst: f64::from(burst), per_second: f64::from(per_second), spent: 0.0, last: None }
    }

    /// Whether there is one more.
    pub fn spend(&mut self, now: Instant) -> bool {
        let before = self.last.replace(now).unwrap_or(now);
        let earned = now.saturating_duration_since(before).as_secs_f64() * self.per_second;
        self.spent = (self.spent - earned).max(0.0);
        if self.spent + 1.0 > self.burst {
            return false;
        }
        self.spent += 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn so_much_at_once_and_then_so_much_a_second() {
        let (mut budget, now) = (Budget::new(10, 2), Instant::now());
        let spent = |budget: &mut Budget, now| (0..100).take_while(|_| budget.spend(now)).count();
        assert_eq!(spent(&mut budget, now), 10);
        assert_eq!(spent(&mut budget, now + Duration::from_secs(1)), 2);
        assert_eq!(spent(&mut budget, now + Duration::from_secs(3)), 4);
        assert_eq!(spent(&mut budget, now + Duration::from_secs(3600)), 10, "it is not saved up");
    }
}
