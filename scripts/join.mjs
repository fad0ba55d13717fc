/**
 * The last step of the build: joins the modules that packets pass through.
 *
 * V8 reads an imported binding at each use: from its module's cell, then a check that it is initialised, another that a
 * function is still the one that the code was compiled for (seen in the code of Node 20). A constant of the module itself
 * costs nothing. So the forwarder and all that it calls become one module, in the place of dist/lb/forwarder.js, the AF_XDP
 * device with its queues and rings another, the AF_PACKET device with its ring a third; function declarations, which may be
 * assigned to, become constants. A packet costs a sixth to a third less, measured by `npm run bench -- --only decision-cost`.
 *
 * What tsc alone has built does the same, slower. scripts/setup.mjs runs this after it, so does `npm run build`.
 */
import { isAbsolute, join } from 'node:path';
import { rollup } from 'rollup';
import { JOINED, root } from './steps.mjs';

/** Entries, and which of their imports are drawn in. None of these modules has a state of its own. */
const MODULES = [
  { entry: 'lb/forwarder.js', drawsIn: () => true },
  { entry: 'io/af-xdp-device.js', drawsIn: (path) => /\/xsk-(queue|rings)\.js$/.test(path) },
  {
    entry: 'io/af-packet-device.js',
    drawsIn: (path) => /\/(packet-ring|packet-sender|packet-socket|offloads|device)\.js$/.test(path),
  },
];

for (const { entry, drawsIn } of MODULES) {
  const input = join(root, 'dist', entry);
  const bundle = await rollup({
    input,
    external: (id) => !((id.startsWith('.') || isAbsolute(id)) && (id === input || drawsIn(id))),
    plugins: [{ name: 'constant-functions', renderChunk: constantFunctions }],
    onwarn: (warning) => {
      throw new Error(`${entry}: ${warning.message}`);
    },
  });
  await bundle.write({ file: input, format: 'es', banner: JOINED });
  await bundle.close();
}

/** Declarations are hoisted, constants are not: they go to the top, where all that follows finds them initialised. */
function constantFunctions(code) {
  const declarations = this.parse(code).body.filter(({ type }) => type === 'FunctionDeclaration');
  let functions = '';
  let rest = '';
  let end = 0;
  for (const { start, end: after, id } of declarations) {
    const parameters = code.slice(id.end, after);
    functions += `const ${id.name} = function ${parameters};\n`;
    rest += code.slice(end, start);
    end = after;
  }
  return { code: functions + rest + code.slice(end), map: null };
}
