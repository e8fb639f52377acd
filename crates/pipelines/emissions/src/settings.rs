//! What the emissions pipeline alone has as options.

use clap::Args;

use crate::model_settings::ModelSettings;

/// Settings of the consumer that only this pipeline has.
#[derive(Args, Clone, Debug)]
pub struct EmissionsSettings {
    /// How countries are clustered.
    #[command(flatten)]
    pub model: ModelSettings,
    /// How many model runs are kept; older ones are deleted.
    #[arg(long, env = "KEEP_RUNS", default_value_t = 1000, value_name = "RUNS",
          value_parser = clap::value_parser!(i32).range(1..), help_heading = "Clusters")]
    pub keep_runs: i32,
}
