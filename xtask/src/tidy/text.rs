//! What holds for any text of the project: links that lead somewhere, no path of one machine, no empty folder.
//! Does not judge prose.

use std::collections::BTreeMap;

use super::Finding;
use super::tree::Tree;

/// Everything that holds for any file.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = machine_paths(tree);
    findings.extend(broken_links(tree));
    findings.extend(empty_folders(tree));
    findings
}

fn machine_paths(tree: &Tree) -> Vec<Finding> {
    // Put together here, so that this file does not find itself.
    let roots = ["home", "work", "root"].map(|root| format!("/{root}/"));
    let mut findings = Vec::new();
    for (path, text) in tree.all().filter(|(path, _)| *path != "Cargo.lock") {
        let lines = text.lines().zip(1..);
        let guilty = lines.filter(|(line, _)| roots.iter().any(|root| names_path(line, root)));
        let advice = "a path of one machine: make it relative, or take it from the environment";
        findings.extend(guilty.map(|(_, number)| Finding::new(path, number, "machine-path", advice)));
    }
    findings
}

/// Whether `root` starts a path in this line, rather than standing within a longer one.
fn names_path(line: &str, root: &str) -> bool {
    line.match_indices(root).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + root.len()..].chars().next();
        !before.is_some_and(|c| c.is_alphanumeric() || "_-./*}~".contains(c))
            && after.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '.')
    })
}

fn broken_links(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.ending(".md") {
        for (number, target) in links(text) {
            let file = target.split('#').next().unwrap_or_default();
            if !file.is_empty() && !tree.holds(&resolve(path, file)) {
                let advice = format!("`{target}` leads nowhere: correct or remove the link");
                findings.push(Finding::new(path, number, "link", advice));
            }
        }
    }
    findings
}

/// Line and target of each relative link outside code.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (line, number) in text.lines().zip(1..) {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        let prose = line.split('`').step_by(2).filter(|_| !fenced);
        // A link's text may be code: `](` then opens the next piece of prose.
        for piece in prose {
            let targets = piece.split("](").skip(1).filter_map(|rest| rest.split(')').next());
            found.extend(targets.map(|target| (number, target)));
        }
    }
    found.retain(|(_, target)| !target.contains("://") && !target.starts_with("mailto:"));
    found
}

fn resolve(from: &str, target: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    parts.join("/")
}

/// Folders in which every file is empty: kept for later, of no use now.
fn empty_folders(tree: &Tree) -> Vec<Finding> {
    let mut folders: BTreeMap<&str, (bool, &str)> = BTreeMap::new();
    for (path, text) in tree.all() {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let bare = text.trim().is_empty() && is_placeholder(path);
        let entry = folders.entry(folder).or_insert((true, path));
        entry.0 &= bare;
    }
    let empty = folders.into_iter().filter(|(folder, (bare, _))| *bare && !folder.is_empty());
    let advice = "a folder with nothing in it: remove it until it holds something";
    empty.map(|(_, (_, path))| Finding::new(path, 1, "empty-folder", advice)).collect()
}

fn is_placeholder(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.starts_with(".git") || name.starts_with(".keep")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(files: &[(&str, &str)]) -> Vec<(usize, &'static str)> {
        check(&Tree::of(files)).into_iter().map(|found| (found.line, found.rule)).collect()
    }

    #[test]
    fn a_link_is_followed_from_the_folder_of_its_page() {
        let page = "See [the style](../STYLE.md).\n";
        assert_eq!(rules(&[("docs/a.md", page), ("STYLE.md", "Style")]), []);
        assert_eq!(rules(&[("docs/a.md", page)]), [(1, "link")]);
    }

    #[test]
    fn links_within_code_and_to_the_web_are_left_alone() {
        let page = "```\n[a](b.md)\n```\n`[a](b.md)` [web](https://example.org/) [here](#top)\n";
        assert_eq!(rules(&[("a.md", page)]), []);
    }

    #[test]
    fn a_link_whose_text_is_code_is_followed() {
        assert_eq!(rules(&[("a.md", "[`b`](b.md)\n")]), [(1, "link")]);
    }

    #[test]
    fn a_path_of_one_machine_is_found_but_not_a_longer_path() {
        let home = ["/ho", "me/me/x"].concat();
        assert_eq!(rules(&[("a.sh", &format!("cd {home}\n"))]), [(1, "machine-path")]);
        assert_eq!(rules(&[("a.sh", &format!("cd $TOP{home}\ncd ./a{home}\n"))]), []);
    }

    #[test]
    fn a_folder_that_holds_only_a_placeholder_is_found() {
        assert_eq!(rules(&[("later/.gitkeep", "")]), [(1, "empty-folder")]);
    }
}
