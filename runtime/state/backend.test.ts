import { describeStateBackend } from './conformance.ts';

describeStateBackend('memory');
describeStateBackend('lmdb');
describeStateBackend('lmdb', 1);
describeStateBackend('lmdb', 50);
