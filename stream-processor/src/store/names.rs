//! Text as numbers, inside one batch: keys of rollup rows are small and cheap to compare.

use rustc_hash::FxBuildHasher;
use std::collections::HashMap;

/// The texts of a batch, numbered in the order of their first use.
#[derive(Debug, Default)]
pub struct Names {
    numbers: HashMap<Box<str>, u32, FxBuildHasher>,
    texts: Vec<Box<str>>,
}

impl Names {
    /// The number of `text`.
    pub fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = u32::try_from(self.texts.len()).expect("a batch is far smaller than 2^32 texts");
        self.texts.push(text.into());
        self.numbers.insert(text.into(), number);
        number
    }

    /// The text of a number that [`Self::number`] gave.
    pub fn text(&self, number: u32) -> &str {
        &self.texts[number as usize]
    }

    /// Each number's place in the alphabet: numbers depend on the order of arrival, places don't.
    pub fn places(&self) -> Vec<u32> {
        let mut sorted: Vec<u32> = (0..self.texts.len() as u32).collect();
        sorted.sort_unstable_by_key(|number| self.text(*number));
        let mut places = vec![0; sorted.len()];
        for (place, number) in sorted.into_iter().enumerate() {
            places[number as usize] = place as u32;
        }
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_do_not_depend_on_the_order_of_arrival() {
        let mut names = Names::default();
        let numbers: Vec<u32> = ["pay", "auth", "pay", ""].iter().map(|text| names.number(text)).collect();
        assert_eq!(numbers, [0, 1, 0, 2]);
        assert_eq!(names.text(1), "auth");
        assert_eq!(names.places(), [2, 1, 0]);
    }
}
