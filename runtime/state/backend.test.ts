import { describeStateBackend } from './conformance.ts';

describeStateBackend('memory');
describeStateBackend('lmdb');
