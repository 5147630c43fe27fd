import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import type { ByteKey } from './backend.ts';

/**
 * Reads an LMDB data file without mapping it: a page that is missing or garbage would end the process when it is
 * read through the map. Layout: LMDB 0.9.90 (data version 2), 64-bit little-endian, `mdb.c`: MDB_meta,
 * MDB_page_header, MDB_node, MDB_db, MDB_ovpage.
 */
const MAGIC = 0xbeefc0de;
const DATA_VERSION = 2;
const PAGE_HEADER = 24;
const NODE_HEADER = 8;
const META_PAGES = 2;
const NO_ROOT = 0xffff_ffff_ffff_ffffn;
const BRANCH = 1;
const LEAF = 2;
const BIG_DATA = 1;
const SUB_DATABASE = 2;
const MAX_DEPTH = 24;
/** Some 10 ms of work. */
const PAGES_PER_TURN = 512;

type OnEntry = (key: ByteKey, value: Buffer, flags: number) => void;

/** What a value has to be for its key; false when it is damaged. */
export type ValueCheck = (key: ByteKey, value: Buffer) => boolean;

/** Newest of the file's two meta pages. */
export interface FileHeader {
  readonly pageSize: number;
  readonly lastPage: number;
  readonly free: Tree;
  readonly main: Tree;
  readonly transaction: bigint;
}

interface Tree {
  readonly root: number | undefined;
  readonly entries: number;
}

/** A file that is not as LMDB leaves it. */
export class DamagedFile extends Error {}

/** @throws DamagedFile, or what the file system throws. */
export function readHeader(path: string): FileHeader {
  const file = openSync(path, 'r');
  try {
    return headerOf(file);
  } finally {
    closeSync(file);
  }
}

function headerOf(file: number): FileHeader {
  const bytes = Buffer.alloc(PAGE_HEADER + 144);
  let newest: FileHeader | undefined;
  let pageSize = 4_096;
  for (let page = 0; page < META_PAGES; page += 1) {
    if (readSync(file, bytes, 0, bytes.length, page * pageSize) < bytes.length)
      throw new DamagedFile('the file ends within its header');
    if (bytes.readUInt32LE(24) !== MAGIC || bytes.readUInt32LE(28) !== DATA_VERSION)
      throw new DamagedFile(`header page ${page} is no LMDB header`);
    pageSize = bytes.readUInt32LE(48);
    if (pageSize < 512 || pageSize > 65_536 || (pageSize & (pageSize - 1)) !== 0)
      throw new DamagedFile(`header page ${page} has page size ${pageSize}`);
    const transaction = bytes.readBigUInt64LE(152);
    if (newest !== undefined && newest.transaction >= transaction) continue;
    newest = {
      pageSize,
      lastPage: number(bytes, 144),
      free: treeAt(bytes, 48),
      main: treeAt(bytes, 96),
      transaction,
    };
  }
  if (newest === undefined) throw new DamagedFile('no header');
  const { size } = fstatSync(file);
  const needed = (newest.lastPage + 1) * newest.pageSize;
  if (size < needed) throw new DamagedFile(`the file has ${size} bytes instead of ${needed}`);
  return newest;
}

function number(bytes: Buffer, at: number): number {
  const value = bytes.readBigUInt64LE(at);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new DamagedFile('a number is out of range');
  return Number(value);
}

function treeAt(bytes: Buffer, at: number): Tree {
  const root = bytes.readBigUInt64LE(at + 40);
  return { root: root === NO_ROOT ? undefined : Number(root), entries: number(bytes, at + 32) };
}

/**
 * Walks all pages that are in use, with turns of the event loop between: a large file takes seconds.
 * @param check of each value of a named database. @throws DamagedFile naming what is wrong.
 */
export async function verifyFile(path: string, check: ValueCheck): Promise<void> {
  const file = openSync(path, 'r');
  try {
    const walk = new Walk(file, headerOf(file), check);
    await walk.run();
  } finally {
    closeSync(file);
  }
}

class Walk {
  readonly #file: number;
  readonly #header: FileHeader;
  readonly #check: ValueCheck;
  readonly #used: Uint8Array;
  /** Of the tree's page at hand: each is done before the next is read. */
  readonly #treePage: Buffer;

  constructor(file: number, header: FileHeader, check: ValueCheck) {
    this.#file = file;
    this.#header = header;
    this.#check = check;
    this.#used = new Uint8Array(header.lastPage + 1);
    this.#treePage = Buffer.allocUnsafe(header.pageSize);
  }

  async run(): Promise<void> {
    const named: Tree[] = [];
    await this.#tree(this.#header.main, (key, value, flags) => {
      if ((flags & SUB_DATABASE) === 0 || value.length !== 48)
        throw new DamagedFile(`${key} is no database`);
      named.push(treeAt(value, 0));
    });
    const { free } = this.#header;
    for (const tree of named) {
      await this.#tree(tree, (key, value) => {
        if (!this.#check(key, value)) throw new DamagedFile('a value does not match its checksum');
      });
    }
    const lists: Buffer[] = [];
    await this.#tree(free, (_key, value) => void lists.push(Buffer.from(value)));
    for (const list of lists) this.#freeList(list);
  }

  /** Page numbers; a negative one, -n, says that the next stands for n pages; 0 stands for none. */
  #freeList(list: Buffer): void {
    const count = list.length < 8 ? -1 : number(list, 0);
    if (count < 0 || list.length < 8 * (count + 1)) throw new DamagedFile('a free list is cut off');
    let pages = 1;
    for (let index = 1; index <= count; index += 1) {
      const entry = list.readBigInt64LE(8 * index);
      if (entry === 0n) continue;
      if (entry < 0n) {
        pages = Number(-entry);
        continue;
      }
      for (let page = Number(entry); pages > 0; pages -= 1, page += 1) {
        if (page < META_PAGES || page >= this.#used.length || this.#used[page] === 1)
          throw new DamagedFile(`page ${page} is both free and in use, or out of range`);
        this.#used[page] = 1;
      }
      pages = 1;
    }
  }

  async #tree(tree: Tree, onEntry: OnEntry): Promise<void> {
    if (tree.root === undefined) return;
    let entries = 0;
    let pages = 0;
    const stack = [{ page: tree.root, depth: 1 }];
    for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
      pages += 1;
      if (pages % PAGES_PER_TURN === 0) await setImmediate();
      if (next.depth > MAX_DEPTH) throw new DamagedFile('a tree is too deep');
      const page = this.#page(next.page, this.#treePage);
      const flags = page.readUInt16LE(18);
      if (flags === BRANCH) {
        const { depth } = next;
        for (const node of nodesOf(page, next.page)) {
          const child = page.readUInt32LE(node) + page.readUInt16LE(node + 4) * 2 ** 32;
          stack.push({ page: child, depth: depth + 1 });
        }
      } else if (flags === LEAF) {
        for (const node of nodesOf(page, next.page)) {
          entries += 1;
          this.#leaf(page, node, onEntry);
        }
      } else {
        throw new DamagedFile(`page ${next.page} has flags ${flags}`);
      }
    }
    if (entries !== tree.entries)
      throw new DamagedFile(`${entries} entries in ${pages} pages instead of ${tree.entries}`);
  }

  #leaf(page: Buffer, node: number, onEntry: OnEntry): void {
    const size = page.readUInt32LE(node);
    const flags = page.readUInt16LE(node + 4);
    const start = node + NODE_HEADER + page.readUInt16LE(node + 6);
    const key = page.toString('latin1', node + NODE_HEADER, start);
    if ((flags & BIG_DATA) === 0) {
      if (start + size > page.length) throw new DamagedFile('an entry leaves its page');
      onEntry(key, page.subarray(start, start + size), flags);
      return;
    }
    if (start + 24 > page.length) throw new DamagedFile('an entry leaves its page');
    const pages = number(page, start + 16);
    if (pages > this.#used.length) throw new DamagedFile('a large value is larger than the file');
    if (PAGE_HEADER + size > pages * this.#header.pageSize)
      throw new DamagedFile('a large value leaves its pages');
    const large = this.#page(
      number(page, start),
      Buffer.allocUnsafe(pages * this.#header.pageSize),
    );
    onEntry(key, large.subarray(PAGE_HEADER, PAGE_HEADER + size), flags);
  }

  /** Reads as many pages as `into` has room for. */
  #page(page: number, into: Buffer): Buffer {
    const { pageSize } = this.#header;
    const count = into.length / pageSize;
    if (!(page >= META_PAGES && page + count <= this.#used.length))
      throw new DamagedFile(`page ${page} is out of range`);
    for (let index = page; index < page + count; index += 1) {
      if (this.#used[index] === 1) throw new DamagedFile(`page ${index} is used twice`);
      this.#used[index] = 1;
    }
    if (readSync(this.#file, into, 0, into.length, page * pageSize) < into.length)
      throw new DamagedFile(`page ${page} is missing`);
    if (into.readBigUInt64LE(0) !== BigInt(page))
      throw new DamagedFile(`page ${page} is not what it should be`);
    return into;
  }
}

/** Offsets of a page's nodes; checks that they are within it. The page counts them from the end of its header. */
function nodesOf(page: Buffer, number: number): number[] {
  const lower = PAGE_HEADER + page.readUInt16LE(20);
  const upper = PAGE_HEADER + page.readUInt16LE(22);
  if (lower > upper || upper > page.length)
    throw new DamagedFile(`page ${number} has no proper bounds`);
  const nodes: number[] = [];
  for (let at = PAGE_HEADER; at < lower; at += 2) {
    const node = PAGE_HEADER + page.readUInt16LE(at);
    if (node < upper || node + NODE_HEADER > page.length)
      throw new DamagedFile(`page ${number} has an entry out of bounds`);
    if (node + NODE_HEADER + page.readUInt16LE(node + 6) > page.length)
      throw new DamagedFile(`page ${number} has a key out of bounds`);
    nodes.push(node);
  }
  return nodes;
}
