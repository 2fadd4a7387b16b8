import { runPackage } from './run.ts';

await runPackage('expire');
