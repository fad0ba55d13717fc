/** Where the page of metrics stands, seen from dist/test/metrics, and what one can link to on a page. Not a test. */
export const PAGE = new URL('../../../docs/metrics.md', import.meta.url);

/** The anchors of a page, as GitHub makes them of headings. */
export function anchorsOf(markdown: string): Set<string> {
  const headings = [...markdown.matchAll(/^#+ (.+)$/gm)].map(([, heading]) => heading);
  return new Set(
    headings.map((heading) =>
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  );
}
