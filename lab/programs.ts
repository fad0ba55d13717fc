/**
 * Programs of the machine that the lab makes use of: where they are, or which package brings them.
 */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Full path of the program, undefined where it is not installed. */
export function findProgram(name: string): string | undefined {
  // Servers live in sbin, which is not in everyone's PATH.
  const directories = [...(process.env.PATH ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin', '/sbin'];
  return directories
    .filter((directory) => directory !== '')
    .map((directory) => join(directory, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}
