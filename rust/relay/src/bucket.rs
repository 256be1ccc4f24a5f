//! The one token bucket: so many a second, so many at once. Refilled by elapsed time, not by a timer.

/// `rate_per_s` 0 never runs out.
#[derive(Debug, Clone, Copy)]
pub struct Bucket {
    rate_per_s: f64,
    burst: f64,
    tokens: f64,
    stamp_s: f64,
}

impl Bucket {
    /// A full one. At least one token fits in.
    #[must_use]
    pub fn new(rate_per_s: f64, burst: f64, now_s: f64) -> Self {
        let burst = burst.max(1.0);
        Self {
            rate_per_s,
            burst,
            tokens: burst,
            stamp_s: now_s,
        }
    }

    /// One token, if there is one.
    pub fn take(&mut self, now_s: f64) -> bool {
        if self.rate_per_s <= 0.0 {
            return true;
        }
        self.refill(now_s);
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }

    /// As many tokens, whether or not there are as many. Seconds until what is missing has come; 0 for nothing.
    pub fn spend(&mut self, tokens: f64, now_s: f64) -> f64 {
        if self.rate_per_s <= 0.0 {
            return 0.0;
        }
        self.refill(now_s);
        self.tokens -= tokens;
        (-self.tokens / self.rate_per_s).max(0.0)
    }

    /// Seconds until the next token, as of when one was last asked for.
    #[must_use]
    pub fn wait_s(&self) -> f64 {
        if self.rate_per_s <= 0.0 {
            return 0.0;
        }
        ((1.0 - self.tokens) / self.rate_per_s).max(0.0)
    }

    fn refill(&mut self, now_s: f64) {
        self.tokens = self
            .burst
            .min(self.tokens + (now_s - self.stamp_s) * self.rate_per_s);
        self.stamp_s = now_s;
    }
}
