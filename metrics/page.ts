/**
 * docs/metrics.md, made of the catalogue: `npm run docs` writes it, test/metrics/page.test.ts holds it equal. Pure.
 */
import { CATALOGUE } from './catalogue.ts';
import type { Metric } from './metric.ts';

const HEAD = `<!-- Made of metrics/*.ts by "npm run docs"; test/metrics/page.test.ts holds it equal. -->
# Metrics

What \`GET /metrics\` shows (\`metrics.listen\`, by default 127.0.0.1:9108), what each number means, and what to do when it moves. All of
them are there from the first scrape, with 0. Counters start anew with the process. Beside these there are \`process_*\` and \`nodejs_*\` of
[prom-client](https://github.com/siimon/prom-client).

[contrib/grafana/hushlb.json](../contrib/grafana/hushlb.json) is a dashboard of them,
[contrib/prometheus/hushlb.rules.yaml](../contrib/prometheus/hushlb.rules.yaml) has alerts, each with the section of
[operations.md](operations.md) that helps.
`;

export function metricsPage(): string {
  const topics = CATALOGUE.map(({ title, metrics }) => `\n## ${title}\n\n${metrics.map(entry).join('\n')}`);
  return `${HEAD}${topics.join('')}`;
}

function entry({ name, type, labels, help, means, moves }: Metric): string {
  const by = labels.length === 0 ? '' : ` by ${labels.map((label) => `\`${label}\``).join(', ')}`;
  const paragraphs = [`${type}${by}. ${help}`, '', `- **Means:** ${means}`, `- **When it moves:** ${moves}`];
  return `### \`${name}\`\n\n${paragraphs.map(wrapped).join('\n')}\n`;
}

const WIDTH = 130;

/** Breaks lines at spaces; what follows the first line of a list's item is indented under it. */
function wrapped(text: string): string {
  const indent = text.startsWith('- ') ? '  ' : '';
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > WIDTH) {
      lines.push(line);
      line = indent + word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  return [...lines, line].join('\n');
}
