/** Whether the portable device can be tested here: `npm test` has built its packages where this host has the tools. */
import { loadPortablePackages } from '../../io/portable-packages.ts';

/** For the `skip` option of a suite. */
export const needsPortable = whyNot();

function whyNot(): string | false {
  try {
    loadPortablePackages();
    return false;
  } catch (error) {
    return (error as Error).message;
  }
}
