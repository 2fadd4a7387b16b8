/** The life of a relay on Debian 13. */

import { machineTests } from './machine-tests.ts';

machineTests('trixie');
