import { runPackage } from './run.ts';

await runPackage('dovecot-dict');
