/** Where the page of metrics stands, seen from dist/test/metrics. Not a test. */
export const PAGE = new URL('../../../docs/metrics.md', import.meta.url);
