import { runPackage } from './run.ts';

await runPackage('core');
