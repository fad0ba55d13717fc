/**
 * Which hushlb this is: for `hushlb --version` (cli/main.ts) and the metric hushlb_build_info (lb/exporter.ts).
 */
import manifest from '../package.json' with { type: 'json' };

export const VERSION = manifest.version;
