//! Recall and precision over generated values.
