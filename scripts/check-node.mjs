/**
 * Ends the process with one line where hushlb cannot run: not Linux, or a Node that is too old.
 *
 * First import of demo.mjs, test.mjs and bench.mjs. A Node parses all static imports before it runs any line, so this
 * file and those three keep to the syntax of Node 12 (Ubuntu 22.04 has it) and load everything else with import().
 */
const OLDEST = [20, 19];

const [major, minor] = process.versions.node.split('.').map(Number);

if (process.platform !== 'linux') {
  console.error(`hushlb: needs Linux, this is ${process.platform}: use a Linux host or virtual machine`);
  process.exit(1);
}
if (major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1])) {
  console.error(`hushlb: needs Node ${OLDEST.join('.')} or later, this is ${process.version}: install a newer Node`);
  process.exit(1);
}
