import { runPackage } from './run.ts';

await runPackage('milter');
