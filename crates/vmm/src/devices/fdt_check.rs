//! What a device tree of any options must be, read back by the rules of the specification: devicetree 0.4, chapter 5. The tests and the
//! fuzz target have this file each, and what it uses beside it.

use super::{DEVICE_TREE_AREA_SIZE, ErrorCode, FdtOptions, RAM_BASE, SYSTEM_AREA_SIZE, device_tree};

/// A property's node, name and value.
type Property = (String, String, Vec<u8>);

fn word(tree: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(tree[at..at + 4].try_into().unwrap())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.iter().copied().take_while(|byte| *byte != 0).collect()).unwrap()
}

/// Every property of a tree, which must be sound throughout.
fn properties(tree: &[u8]) -> Vec<Property> {
    let header: Vec<usize> = (0..10).map(|index| usize::try_from(word(tree, index * 4)).unwrap()).collect();
    assert_eq!((word(tree, 0), header[1], header[5], header[6]), (0xd00d_feed, tree.len(), 17, 16));
    let (structure, strings) = (header[2], header[3]);
    assert!(structure + header[9] <= tree.len() && strings + header[8] <= tree.len());
    let (mut at, mut path, mut found) = (structure, Vec::new(), Vec::new());
    loop {
        let token = word(tree, at);
        at += 4;
        match token {
            1 => {
                let name = text(&tree[at..]);
                at += (name.len() + 1).next_multiple_of(4);
                path.push(name);
            }
            2 => drop(path.pop().expect("a node ends that has begun")),
            3 => {
                let length = usize::try_from(word(tree, at)).unwrap();
                let name = text(&tree[strings + usize::try_from(word(tree, at + 4)).unwrap()..]);
                found.push((path.join("/"), name, tree[at + 8..at + 8 + length].to_vec()));
                at += 8 + length.next_multiple_of(4);
            }
            9 => break,
            other => panic!("{other:#x} is no token"),
        }
    }
    assert!(path.is_empty() && at == structure + header[9]);
    found
}

fn value(properties: &[Property], node: &str, name: &str) -> Option<Vec<u8>> {
    let found = properties.iter().find(|(path, property, _)| path == node && property == name);
    found.map(|(_, _, value)| value.clone())
}

/// The options give a sound tree that says them, or are a configuration error.
pub fn check(options: &FdtOptions) {
    let possible = (1..=8).contains(&options.vcpus.len())
        && options.memory_size > SYSTEM_AREA_SIZE
        && !options.command_line.contains('\0');
    let tree = match device_tree(options) {
        Ok(tree) => tree,
        Err(error) => {
            assert!(!possible && error.code == ErrorCode::Config, "{error}");
            return;
        }
    };
    assert!(possible && tree.len() as u64 <= DEVICE_TREE_AREA_SIZE);
    let properties = properties(&tree);
    let command_line = [options.command_line.as_bytes(), &[0]].concat();
    assert_eq!(value(&properties, "/chosen", "bootargs"), Some(command_line));
    let ram = [RAM_BASE.to_be_bytes(), (options.memory_size - SYSTEM_AREA_SIZE).to_be_bytes()].concat();
    assert_eq!(value(&properties, &format!("/memory@{RAM_BASE:x}"), "reg"), Some(ram));
    let cpus = properties.iter().filter(|(path, name, _)| path.contains("/cpu@") && name == "reg");
    assert_eq!(cpus.count(), options.vcpus.len());
}
