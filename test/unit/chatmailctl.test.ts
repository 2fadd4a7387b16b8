import { runPackage } from './run.ts';

await runPackage('chatmailctl');
