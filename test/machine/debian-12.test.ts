/** The life of a relay on Debian 12. */

import { machineTests } from './machine-tests.ts';

machineTests('bookworm');
