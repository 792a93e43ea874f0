//! Properties as CloudFormation sends them, as a template's author may write them, and as nobody should (F-43).

use hawser::{
    error::{Code, Failure},
    protocol::properties::Properties,
};
use serde_json::{Value, json};

fn read<T>(value: &Value, how: impl FnOnce(&mut Properties<'_>) -> Result<T, Failure>) -> Result<T, Code> {
    let object = json!({ "Name": value });
    let mut properties = Properties::new(object.as_object());
    how(&mut properties).map_err(|failure| {
        assert!(failure.cause.contains("`Name`"), "{failure}");
        failure.code
    })
}

#[test]
fn a_list_has_no_empty_members_however_it_is_written() {
    let list = |value: Value| read(&value, |properties| properties.list("Name"));
    for value in [json!("eu-west-1,us-east-1"), json!(" eu-west-1 , ,us-east-1,"), json!(["eu-west-1", " us-east-1 ", "", " "])] {
        assert_eq!(list(value.clone()).unwrap(), ["eu-west-1", "us-east-1"], "{value}");
    }
    for value in [json!(null), json!(""), json!(","), json!([]), json!([""])] {
        assert_eq!(list(value.clone()), Ok(Vec::new()), "{value}");
    }
    for value in [json!(7), json!(true), json!({ "a": "b" }), json!(["a", 7]), json!([["a"]])] {
        assert_eq!(list(value.clone()), Err(Code::PropertyInvalid), "{value}");
    }
}

#[test]
fn a_map_has_only_strings() {
    let map = |value: Value| read(&value, |properties| properties.map("Name"));
    assert_eq!(map(json!({ "billing": "ReadOnly" })).unwrap().get("billing").map(String::as_str), Some("ReadOnly"));
    for value in [json!(null), json!(""), json!({})] {
        assert!(map(value.clone()).unwrap().is_empty(), "{value}");
    }
    for value in [json!("billing"), json!(" "), json!(["billing"]), json!(7), json!({ "billing": 7 })] {
        assert_eq!(map(value.clone()), Err(Code::PropertyInvalid), "{value}");
    }
}

#[test]
fn a_flag_is_true_false_or_absent_in_any_case_and_nothing_else() {
    let flag = |value: Value| read(&value, |properties| properties.flag("Name"));
    for (value, is) in [(json!("true"), true), (json!("TRUE"), true), (json!(true), true), (json!("False"), false)] {
        assert_eq!(flag(value.clone()), Ok(is), "{value}");
    }
    for value in [json!(""), json!(null), json!(false)] {
        assert_eq!(flag(value.clone()), Ok(false), "{value}");
    }
    for value in [json!("yes"), json!("1"), json!(1), json!(" true"), json!(["true"])] {
        assert_eq!(flag(value.clone()), Err(Code::PropertyInvalid), "{value}");
    }
}
